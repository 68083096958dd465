"""train-vae, train-base, finetune-agp, finetune-color, distill-guidance: data, loop, processes, exams."""
