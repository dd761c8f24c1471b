"""The published formats that AMS is compared with, one file each."""
