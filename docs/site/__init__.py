"""How is the documentation made? Pages by hand, pages of the catalogue, pictures of real runs."""
