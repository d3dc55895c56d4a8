"""What people look at: comparison sheets of pictures and curves of training runs."""
