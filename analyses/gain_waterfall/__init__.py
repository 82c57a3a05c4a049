"""What fine-tuning on instructions does to a small real model that knows only children's stories."""
