module freshet.dev/xtask/kube/pause

go 1.26.0
