module becket.bench/go

go 1.24
