"""What can be added to AMS without more bits: every extension is a `Format` like the others.

>>> from amssim.error.beyond.joint import JointAms
>>> JointAms("fp4.25").bits_per_weight((512, 4096)), JointAms("fp4.25").name
(Fraction(545, 128), 'fp4.25-e2m2 joint')
"""
