"""Training of the zoo's networks. All but :mod:`drivenet.training.pack` needs torch (extra ``[train]``)."""
