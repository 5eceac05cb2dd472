module becket.invalid/becket

go 1.24
