module becket.invalid/examples/gateway/rate

go 1.24

require becket.invalid/becket v0.0.0

replace becket.invalid/becket => ../../../sdk/go
