"""One file per stage: its configuration model and one function, inputs to outputs."""
