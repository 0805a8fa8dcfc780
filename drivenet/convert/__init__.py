"""Models from elsewhere: published checkpoints, ONNX files of other programs, and deployed ONNX back as checkpoints."""
