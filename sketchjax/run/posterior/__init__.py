"""A posterior head fitted to a trained network: classifier, codebook, thresholds, temperature.

A network that has such a head keeps its classifier, and so does one that reads pictures: the
classifier of its embedding is what sketches and photos share. For others one is fitted to the
training sketches. The rest has a closed form but for three numbers, from which what the network was
trained on improves it by the tie-aware loss. What is taken is chosen by the exact MAP of validation
sketches, among themselves or against validation photos: no query decides anything.
"""
