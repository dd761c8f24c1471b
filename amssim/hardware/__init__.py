"""Device profiles as data: one JSON file per GPU or CPU, a source for every figure."""

from amssim.hardware.fields import FIELDS, Field
from amssim.hardware.library import names, profile
from amssim.hardware.profile import Figure, Profile, from_json

__all__ = ["FIELDS", "Field", "Figure", "Profile", "from_json", "names", "profile"]
