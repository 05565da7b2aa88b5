"""Metric losses as loops over pairs and triplets, in f64, written from the papers."""

import math

import numpy as np

DISTANCES = ("snr", "euclidean", "cosine")
MININGS = ("all", "semi_hard", "distance_weighted")


def distance(anchor, other, kind):
    """Of two features, number by number."""
    if kind == "snr":
        return variance([x - a for a, x in zip(anchor, other, strict=True)]) / variance(anchor)
    if kind == "euclidean":
        return math.sqrt(sum((x - a) ** 2 for a, x in zip(anchor, other, strict=True)))
    return 1 - cosine(anchor, other)


def variance(numbers):
    mean = sum(numbers) / len(numbers)
    return sum((number - mean) ** 2 for number in numbers) / len(numbers)


def cosine(first, second):
    product = sum(a * b for a, b in zip(first, second, strict=True))
    return product / math.sqrt(sum(a * a for a in first) * sum(b * b for b in second))


def weights_of(features, labels, anchor, kind):
    """The probability that Wu et al. 2017 sample each item as the anchor's negative."""
    density = {}
    for other, label in enumerate(labels):
        first, second, dimensions = features[anchor], features[other], len(features[anchor])
        if kind == "snr":
            first = [a - sum(first) / len(first) for a in first]
            second = [a - sum(second) / len(second) for a in second]
            dimensions -= 1
        apart = math.sqrt(max(2 - 2 * cosine(first, second), 0))
        if label == labels[anchor] or apart >= 1.4:
            continue
        radius = max(apart, 0.5)
        uniform = radius ** (dimensions - 2) * (1 - radius**2 / 4) ** ((dimensions - 3) / 2)
        density[other] = 1 / uniform
    return {other: each / sum(density.values()) for other, each in density.items()}


def sides(labels, anchor):
    """The positives and the negatives of an anchor."""
    others = [other for other in range(len(labels)) if other != anchor]
    positives = [other for other in others if labels[other] == labels[anchor]]
    return positives, [other for other in others if labels[other] != labels[anchor]]


def mean_of_active(terms):
    """(weight, value) pairs -> the weighted mean of the values above 0."""
    active = [(weight, value) for weight, value in terms if value > 0 and weight > 0]
    total = sum(weight for weight, _ in active)
    return sum(weight * value for weight, value in active) / total if active else 0.0


def contrastive(features, labels, *, kind, margin, positive_margin, mining):
    pulls, pushes = [], []
    for anchor in range(len(labels)):
        positives, negatives = sides(labels, anchor)
        far = [distance(features[anchor], other, kind) for other in features]
        pulls += [(1, far[p] - positive_margin) for p in positives]
        weights = dict.fromkeys(negatives, 1)
        if mining == "semi_hard":
            nearest = min((far[p] for p in positives), default=math.inf)
            weights = {n: 1 for n in negatives if far[n] > nearest}
        if mining == "distance_weighted":
            weights = weights_of(features, labels, anchor, kind)
        pushes += [(weight, margin - far[n]) for n, weight in weights.items()]
    return mean_of_active(pulls) + mean_of_active(pushes)


def triplet(features, labels, *, kind, margin, mining):
    terms = []
    for anchor in range(len(labels)):
        positives, negatives = sides(labels, anchor)
        far = [distance(features[anchor], other, kind) for other in features]
        weights = dict.fromkeys(negatives, 1)
        if mining == "distance_weighted":
            weights = weights_of(features, labels, anchor, kind)
        for p in positives:
            for n, weight in weights.items():
                if mining != "semi_hard" or far[n] > far[p]:
                    terms.append((weight, far[p] - far[n] + margin))
    return mean_of_active(terms)


def lifted_structure(features, labels, *, kind, margin, temperature):
    terms = []
    for i in range(len(labels)):
        for j in sides(labels, i)[0]:
            pushed = 0.0
            for row in (i, j):
                for negative in sides(labels, row)[1]:
                    near = margin - distance(features[row], features[negative], kind)
                    pushed += math.exp(near / temperature)
            lifted = distance(features[i], features[j], kind) + (
                temperature * math.log(pushed) if pushed else -math.inf
            )
            terms.append(max(lifted, 0) ** 2 / 2)
    return float(np.mean(terms)) if terms else 0.0


def n_pair(features, labels, *, kind, temperature):
    terms = []
    for i in range(len(labels)):
        positives, negatives = sides(labels, i)
        for p in positives:
            near = distance(features[i], features[p], kind)
            pushed = sum(
                math.exp((near - distance(features[i], features[n], kind)) / temperature)
                for n in negatives
            )
            terms.append(math.log(1 + pushed))
    return float(np.mean(terms)) if terms else 0.0
