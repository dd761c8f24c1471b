"""What formats round with: tables of values, blocks of columns that share a scale, feedback."""
