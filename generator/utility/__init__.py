"""What strips are worth to a classifier: train on real or synthetic, test on real or synthetic (TRTR, TSTR, TRTS, TSTS, and both to train on).

The design follows Esteban, Hyland & Raetsch 2017 (arXiv 1706.02633) and what the published study reports (F1 of AF against NSR from interval and RR
features), with what it leaves out: the ceiling TRTR, intervals by bootstrap over patients and over seeds, and a reason where a figure is undefined.
docs/utility.md defines every figure.
"""

from generator.utility.classifiers import CLASSIFIERS, NETWORK
from generator.utility.experiments import EXPERIMENTS, HELD_OUT, INTERVALS_AND_RR, UtilityError, as_table, labelled, utility, utility_of_study

__all__ = [
    "CLASSIFIERS",
    "EXPERIMENTS",
    "HELD_OUT",
    "INTERVALS_AND_RR",
    "NETWORK",
    "UtilityError",
    "as_table",
    "labelled",
    "utility",
    "utility_of_study",
]
