"""Other systems, simulated: what Windows lacks (`no_posix`), and how it differs in files and consoles (`windows`)."""
