module becket/blocks

go 1.24
