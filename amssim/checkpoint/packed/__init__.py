"""How packed tensors lie in safetensors files, and what a file says about itself."""
