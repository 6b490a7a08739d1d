"""What is in any file of this program or of the benchmark."""
