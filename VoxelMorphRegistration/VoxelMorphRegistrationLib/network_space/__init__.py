"""From images to the tensors a network sees, and from its flow back to the images."""
