"""Pure numerics: arrays in, arrays out. Here ivar = 0 means "no information" and nothing is NaN."""
