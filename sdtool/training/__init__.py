"""train-vae, train-base, finetune-agp, finetune-color: data, the loop over batches, many processes, exams."""
