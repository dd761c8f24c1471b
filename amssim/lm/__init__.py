"""Language models as judges of a format: a Llama forward pass, perplexity, KL divergence."""
