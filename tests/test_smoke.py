def test_u(universe):
    p = universe.infused()
    print(p.state)
    universe.event(p)
    c = universe.client(universe.chen)
    assert c.get(f"/patients/{p.pk}/").status_code == 200
def test_c(committed_universe):
    assert committed_universe.screened()
