module becket.dev/becket

go 1.24
