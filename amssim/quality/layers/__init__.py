"""Linear layers to measure: where their weights come from, and what is known of their inputs."""
