// Package results reads the raw results under bench/results, for the plots and the tables.
package results
