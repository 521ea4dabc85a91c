package config

// clientVariables are the variables with the prefix that the clients of a gateway read (client/python and the command top)
// and that are no settings of a gateway: one file may have the environment of both.
var clientVariables = []string{Prefix + "URL", Prefix + "INCLUDE_STALE", Prefix + "FILL_CAPACITY"}
