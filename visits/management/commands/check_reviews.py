"""`manage.py check_reviews`: is every mark still bound to the data that it was set on?"""

from django.core.management.base import BaseCommand
from django.utils.translation import override

from patients.models import Patient
from visits.contents import faults_of
from visits.models import Review


class Command(BaseCommand):
    help = "Recompute the digest of every mark (verified, reviewed, signed; void ones from the trail), and name the invalid."

    def handle(self, **options):
        count = faults = 0
        with override("en"):
            for patient in Patient.objects.filter(pk__in=Review.objects.values("patient")).order_by("pk").iterator():
                reviews = list(Review.objects.filter(patient=patient).order_by("id"))
                count += len(reviews)
                for review, fault in faults_of(reviews, patient):
                    faults += 1
                    self.stdout.write(
                        f"INVALID  mark {review.pk} ({review.mark}) on {review.record} {review.record_id},"
                        f" version {review.record_version}: {fault}"
                    )
        self.stdout.write(f"{count} marks checked, {faults} invalid")
        if faults:
            raise SystemExit(1)
