module becket.dev/examples/sample

go 1.24

require becket.dev/becket v0.0.0

replace becket.dev/becket => ../../../sdk/go
