"""Pictures that live in the device's memory and are varied there, a batch at a time.

The counterpart of :mod:`drivenet.training.samples`, :mod:`~drivenet.training.augment` and
:mod:`~drivenet.training.recolour`: the same settings, the same meaning, other draws.
"""
