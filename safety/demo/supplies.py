"""What the sites need: the approved versions of the protocol, laboratories, lots."""

from datetime import timedelta

from trialsite import actions, trial
from trialsite.clock import today_at
from trialsite.roles import Role
from visits import demo as course
from visits.models import Laboratory


class Supplies:
    """Approvals, laboratories with their ranges, and the lots of the pharmacies."""

    def release_versions(self, begin):
        """Every site works under the newest version of the protocol before the first patient comes."""
        keeper = self.people.who(Role.DATA_MANAGER)
        for version in list(trial.versions())[1:]:
            for site in self.sites:
                self.on(
                    site, begin, "08:30", actions.release_version, site=site, protocol_version=version,
                    approved_on=begin, approved_by="Ethics committee of the hospital", by=keeper,
                )  # fmt: skip

    def keep_ranges(self, begin):
        """A laboratory at each site; every second one reports some tests in another unit. The first changes its
        ranges in the middle of the trial."""
        keeper = self.people.who(Role.DATA_MANAGER)
        for place, site in enumerate(self.sites):
            self.on(
                site, begin, "09:30", course.make_laboratory, site=site, protocol=self.protocol, on=begin, by=keeper,
                other_units=("HGB", "CREAT") if place % 2 else (),
            )  # fmt: skip
        middle = begin + (self.today - begin) / 2
        self.on(self.sites[0], middle, "09:30", self.change_ranges, on=middle, by=keeper)

    def change_ranges(self, *, on, by):
        laboratory = Laboratory.objects.get(site=self.sites[0])
        course.change_ranges(laboratory=laboratory, tests=("ALT", "AST", "PLAT"), on=on, by=by)

    def stock_pharmacies(self, begin):
        """Every few weeks a lot of each product at each site, released after its tests; the latest in quarantine."""
        every = max(45, (self.today - begin).days // 8)
        for site in self.sites:
            pharmacist = self.people.who(Role.PHARMACIST, site)
            for product in self.protocol.products:
                days = [begin + timedelta(days=d) for d in range(0, (self.today - begin).days - 20, every)]
                for place, day in enumerate([*days, self.today - timedelta(days=2)]):
                    self.on(
                        site, day, "09:00", self.stock, site=site, product=product, by=pharmacist, days=2 * every + 30,
                        is_bad=place == 2 and product.is_cell_product,
                    )  # fmt: skip

    def stock(self, *, site, product, by, days, is_bad):
        today = today_at(site)
        lot = course.receive_lot(site=site, product=product, by=by, days=days)
        ready = today + timedelta(days=6)
        self.on(site, ready, "09:00", course.judge_lot, lot=lot, protocol=self.protocol, by=by, is_bad=is_bad)
        if is_bad:  # another one takes its place
            self.on(
                site, today + timedelta(days=7), "09:00", self.stock, site=site, product=product, by=by, days=days,
                is_bad=False,
            )  # fmt: skip
