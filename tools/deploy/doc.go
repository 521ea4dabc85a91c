// Package deploy holds checks of deploy/ that need Kubernetes' and Prometheus' own libraries; the others are in deploy/
// itself. It is a module of its own because of what those libraries bring along.
package deploy
