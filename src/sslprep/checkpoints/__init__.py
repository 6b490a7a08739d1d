"""Caffe2, Detectron, PyTorch and safetensors checkpoints."""
