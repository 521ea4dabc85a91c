// Package deploy is what operators use: see README.md in this folder. Its only Go code is tests, which run what is here
// with the programs that it is for: shell, systemd, logrotate, Docker Compose, and the gateway itself. What needs
// Kubernetes' and Prometheus' libraries is checked in tools/deploy.
package deploy
