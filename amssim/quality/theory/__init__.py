"""What quantisation must cost: weight densities, expected errors in closed form, bounds."""
