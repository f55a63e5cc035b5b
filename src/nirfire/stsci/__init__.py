"""The only importer of jwst, stdatamodels, stpipe and crds."""
