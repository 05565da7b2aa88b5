"""The study of variants: changes of one config, each trained with the same seeds."""
