"""What quantisation costs: metrics, sharing study, theory, evaluation."""
