module segtriton.test/tools/pod-targets

go 1.26.0
