"""Where do the statements of `sandbox bench sql` lie? In the text files of this folder, one statement a line."""
