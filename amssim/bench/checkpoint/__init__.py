"""What quantising, verifying and restoring a checkpoint costs, as whole processes."""
