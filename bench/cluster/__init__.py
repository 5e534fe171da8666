"""The membership of a group at sizes that no test has machines for, on a virtual network."""
