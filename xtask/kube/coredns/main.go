// CoreDNS with the plugins that a cluster's own names need, and no others.
//
// It has no forward plugin: a name outside cluster.local is refused here and never asked for elsewhere. And it
// has no cache, so that a name follows its pod at once.
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
)

func main() { coremain.Run() }
