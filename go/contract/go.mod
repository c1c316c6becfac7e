module gomachinery.example/contract

go 1.18
