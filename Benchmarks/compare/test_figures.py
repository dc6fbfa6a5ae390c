"""What computes the results is held by tests; what measures is not."""

import unittest

from figures import Row, Summary, Target, median, number, ratios, slope
from report import document, plot_data, table


class Figures(unittest.TestCase):
    def test_the_median_is_the_middle_one_or_between_the_middle_two(self):
        self.assertEqual(median([5, 1, 9]), 5)
        self.assertEqual(median([4, 1, 9, 2]), 3)
        self.assertEqual(median([7]), 7)
        with self.assertRaises(ValueError):
            median([])

    def test_a_summary_has_the_median_and_what_it_lies_between(self):
        self.assertEqual(Summary.of([3, 8, 1]), Summary(3, 1, 8))

    def test_each_round_of_ours_is_divided_by_the_same_round_of_theirs(self):
        self.assertEqual(ratios([10, 30, 8], [20, 10, 4]), [0.5, 3, 2])
        # The ratio of the medians would be 1.
        self.assertEqual(Row("a", "s", [10, 30, 8], [20, 10, 4]).ratio, Summary(2, 0.5, 3))

    def test_rounds_that_do_not_match_or_were_not_measured_have_no_ratio(self):
        with self.assertRaises(ValueError):
            ratios([1, 2], [1])
        with self.assertRaises(ValueError):
            ratios([1], [0])
        self.assertIsNone(Row("a", "s", [1]).ratio)

    def test_a_target_holds_at_its_bound_and_not_beyond(self):
        self.assertTrue(Target(at_least=1.0).holds(1.0))
        self.assertFalse(Target(at_least=1.0).holds(0.99))
        self.assertTrue(Target(at_most=2.0).holds(2.0))
        self.assertFalse(Target(at_most=2.0).holds(2.01))

    def test_the_ratio_is_judged_unless_the_peer_is_there_for_scale(self):
        judged = Row("a", "ms", [30], [10], target=Target(at_most=2))
        self.assertEqual((judged.judged, judged.verdict), (3, "**no**"))
        scale = Row("a", "KiB", [5], [2], target=Target(at_most=6), is_ratio_judged=False)
        self.assertEqual((scale.judged, scale.verdict), (5, "yes"))
        alone = Row("a", "KiB", [7, 5, 9], target=Target(at_most=6))
        self.assertEqual((alone.judged, alone.verdict), (7, "**no**"))
        self.assertEqual(Row("a", "s", [1]).verdict, "")

    def test_what_one_more_takes_leaves_out_the_first(self):
        self.assertEqual(slope(10_000, 16_000, 100, 1100), 6)
        with self.assertRaises(ValueError):
            slope(1, 2, 5, 5)

    def test_numbers_have_three_digits_that_mean_something(self):
        self.assertEqual([number(value) for value in [0.1234, 9.87, 12.345, 123.4, 12_345.6]],
                         ["0.12", "9.87", "12.3", "123", "12,346"])


class Results(unittest.TestCase):
    rows = [
        Row("alone", "KiB", [5.0, 6.0], target=Target(at_most=6), note="of one kind"),
        Row("beside", "requests/s", [100, 300, 200], [200, 200, 200], "nginx", Target(at_least=1.0)),
    ]

    def test_rows_with_a_ratio_come_first_and_show_their_spread(self):
        lines = table(self.rows)
        self.assertEqual(
            lines[2],
            "| beside | **1.00 (0.50–1.50)** | ≥ 1.00 | yes | 200 (100–300) | 200 nginx | requests/s |")
        self.assertEqual(lines[3], "| alone |  | ≤ 6.00 | yes | 5.50 (5.00–6.00) |  | KiB |")
        self.assertEqual(len({line.count("|") for line in lines}), 1)

    def test_a_document_names_the_machine_and_what_was_not_measured(self):
        text = document(self.rows, [("CPU", "one")], ["cluster: 5 s were left"], "3 rounds")
        for part in ["- CPU: one", "- cluster: 5 s were left", "- alone: of one kind", "Medians of 3 rounds"]:
            self.assertIn(part, text)

    def test_only_ratios_are_plotted_with_the_targets_they_are_judged_by(self):
        scale = Row("scale", "KiB", [5], [1], "mosquitto", Target(at_most=6), is_ratio_judged=False)
        self.assertEqual(
            plot_data(self.rows + [scale]),
            '2 1.0 0.5 1.5 1.0 "beside, ≥ 1.00"\n1 5.0 5.0 5.0 NaN "scale"\n')


if __name__ == "__main__":
    unittest.main()
