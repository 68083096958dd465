"""train-vae, train-base, finetune-agp: data, the loop over batches, many processes, exams."""
