import torch

torch.set_num_threads(1)  # two threads under load can be far slower than one
