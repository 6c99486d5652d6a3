"""Candles are read as they are, or refused with what is wrong and where; features know nothing of the future."""

import numpy as np
import pandas as pd
import pytest
from artifact_models.trading import indicators, market
from artifact_models.trading.candles import BadCandles, check_candles, read_candles
from artifact_models.trading.folds import hold_out, walk_forward
from artifact_models.trading.score import chance, score

from artifact_store import errors
from tests.integration.models.market_data import make_candles, write_csv

HEAD = "Time,Open,High,Low,Close,Volume\n"
LINE = "1.0,1.2,0.9,1.1,10\n"


def csv(tmp_path, text):
    path = tmp_path / "candles.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_candles_come_back_as_they_were_written(tmp_path):
    bars = make_candles(60)
    read = read_candles(write_csv(tmp_path / "x.csv", bars))
    assert read.columns.tolist() == ["open", "high", "low", "close", "volume"]
    np.testing.assert_array_equal(read.to_numpy(), bars.to_numpy())
    assert (read.index == bars.index).all()


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("02.01.2017 22:00:00.000", "2017-01-02 22:00"),
        ("02.01.2017 22:00:00", "2017-01-02 22:00"),
        ("02.01.2017 22:00", "2017-01-02 22:00"),
        ("02.01.2017", "2017-01-02"),
        ("2017.01.02 22:00", "2017-01-02 22:00"),
        ("2017.01.02", "2017-01-02"),
        ("2017-01-02", "2017-01-02"),
        ("2017-01-02 22:00:00+02:00", "2017-01-02 20:00"),
        ("2017-01-02T22:00:00Z", "2017-01-02 22:00"),
        ("1483394400", "2017-01-02 22:00"),
        ("1483394400000", "2017-01-02 22:00"),
    ],
)
def test_a_time_that_can_mean_one_thing_is_understood(tmp_path, spelling, expected):
    assert read_candles(csv(tmp_path, f"{HEAD}{spelling},{LINE}")).index[0] == pd.Timestamp(expected)


def test_a_time_that_could_mean_two_things_is_asked_for(tmp_path):
    path = csv(tmp_path, f"{HEAD}01/02/2017,{LINE}")
    with pytest.raises(BadCandles, match="could mean more than one thing"):
        read_candles(path)
    assert read_candles(path, time_format="%m/%d/%Y").index[0] == pd.Timestamp("2017-01-02")


def test_missing_columns_are_named_with_the_likeliest_of_the_others(tmp_path):
    with pytest.raises(
        BadCandles, match=r"no column close \(did you mean closee\?\), volume; it has open, high"
    ) as caught:
        read_candles(csv(tmp_path, "Time,Open,High,Low,Closee\n2017-01-02,1,1,1,1\n"))
    assert caught.value.missing == ("close", "volume")
    assert isinstance(caught.value, errors.InvalidInput)


@pytest.mark.parametrize(
    ("rows", "lines", "why"),
    [
        (["2017-01-03," + LINE, "2017-01-02," + LINE], (3,), "earlier than that of the line before"),
        (["2017-01-02," + LINE, "2017-01-02," + LINE], (3,), "there twice"),
        (["2017-01-02," + LINE, "tomorrow," + LINE], (3,), "the time cannot be read"),
        (["2017-01-02," + LINE, "," + LINE], (3,), "the time is missing"),
        (["2017-01-02,1.0,1.2,0.9,,10\n"], (2,), "missing or infinite"),
        (["2017-01-02,1.0,1.2,0.9,inf,10\n"], (2,), "missing or infinite"),
        (["2017-01-02,1.0,1.2,0.9,high,10\n"], (2,), "close is not a number"),
        (["2017-01-02,1.0,1.2,-0.9,1,10\n"], (2,), "not above 0"),
        (["2017-01-02,1.0,0.8,0.9,1,10\n"], (2,), "high is below the low"),
        (["2017-01-02,1.0,1.2,0.9,1,-1\n"], (2,), "volume is below 0"),
    ],
)
def test_a_line_that_cannot_be_a_candle_is_named(tmp_path, rows, lines, why):
    with pytest.raises(BadCandles, match=why) as caught:
        read_candles(csv(tmp_path, HEAD + "".join(rows)))
    assert caught.value.lines == lines


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "cannot be read as CSV"),
        (HEAD, "holds no bar"),
        ("Open,High,Low,Close,Volume\n" + LINE, "no column for the time"),
        ("Time,Open,open ,High,Low,Close,Volume\n", "open more than once"),
        (f'{HEAD}2017-01-02,"1\n', "cannot be read as CSV"),
    ],
)
def test_a_file_that_holds_no_candles_says_why(tmp_path, text, why):
    with pytest.raises(BadCandles, match=why):
        read_candles(csv(tmp_path, text))


def test_a_table_is_checked_like_a_file():
    bars = make_candles(60)
    assert check_candles(bars).equals(bars)
    with pytest.raises(BadCandles, match="earlier"):
        check_candles(bars.iloc[::-1])


@pytest.mark.parametrize("freq", ["1h", "1D"])
@pytest.mark.parametrize("bars", [60, 200])
def test_no_feature_knows_a_later_bar(freq, bars):
    whole = make_candles(400, freq=freq)
    everything = indicators.features(whole)
    assert indicators.features(whole.iloc[:bars]).equals(everything.iloc[: bars - indicators.WARM_UP])
    answers = indicators.next_returns(whole.iloc[:bars])
    assert answers.isna().tolist() == [False] * (len(answers) - 1) + [True]


def test_features_of_a_market_that_does_not_move_are_numbers():
    still = make_candles(80).assign(open=1.0, high=1.0, low=1.0, close=1.0, volume=0.0)
    assert np.isfinite(indicators.features(still).to_numpy()).all()


def test_hourly_bars_know_the_hour_and_daily_ones_the_month():
    assert {"hour_sin", "hour_cos"} <= set(indicators.features(make_candles(60)).columns)
    daily = make_candles(800, freq="1D")
    assert "month" in indicators.features(daily).columns
    assert indicators.bars_per_year(daily) == pytest.approx(365.25)


def test_a_fold_is_tested_on_later_rows_than_it_was_trained_on():
    folds = list(walk_forward(1001, folds=4))
    assert [fold.number for fold in folds] == [1, 2, 3, 4]
    assert all(fold.train_end < fold.test.start for fold in folds)
    assert [fold.test.start for fold in folds[1:]] == [fold.test.stop for fold in folds[:-1]]
    assert (folds[0].test.start, folds[-1].test.stop) == (500, 1001)
    with pytest.raises(errors.InvalidInput, match="too few for 4 folds"):
        list(walk_forward(19, folds=4))


def test_validation_comes_after_training_with_one_row_between():
    train, valid = hold_out(100)
    assert (train[0], train[-1], valid[0], valid[-1]) == (0, 83, 85, 99)


def test_a_perfect_signal_has_the_best_scores_and_pays_its_costs():
    returns = np.array([0.01, -0.02, 0.03, -0.01, 0.02])
    free = score(returns, returns, cost=0.0, bars_per_year=252)
    assert (free.accuracy, free.auc, free.ic, free.majority) == (1.0, 1.0, pytest.approx(1.0), 0.6)
    assert score(returns, returns, cost=0.01, bars_per_year=252).sharpe < free.sharpe
    assert 0 < chance(free) < 1


def test_what_the_data_cannot_tell_is_not_a_number():
    nothing = score(np.zeros(4), np.full(4, 0.01), cost=0.0, bars_per_year=252)
    assert all(
        np.isnan(value) for value in (nothing.accuracy, nothing.auc, nothing.ic, nothing.sharpe, chance(nothing))
    )


def test_a_live_frame_has_what_the_file_has_and_features_where_it_can(tmp_path):
    bars = make_candles(60)
    frame = market.live_frame(write_csv(tmp_path / "x.csv", bars.assign(sentiment=1.0, gap=5.0)))
    assert len(frame) == 10
    assert {"close", "sentiment", "return_1"} <= set(frame.columns)
    assert (frame["gap"] == 5.0).all()
    plain = market.live_frame(write_csv(tmp_path / "y.csv", bars[["close"]].rename(columns={"close": "rsi"})))
    assert plain.columns.tolist() == ["rsi"]
    with pytest.raises(BadCandles, match="too few"):
        market.live_frame(write_csv(tmp_path / "z.csv", bars.iloc[:50]))


def test_the_file_of_a_symbol_is_found_or_what_is_there_is_named(tmp_path):
    path = write_csv(tmp_path / "eurusd.CSV", make_candles(2))
    assert market.file_of("EURUSD", tmp_path) == path
    assert market.file_of("ANY", path) == path
    write_csv(tmp_path / "other.csv", make_candles(2))
    with pytest.raises(errors.InvalidOption, match=r"no file or folder .*nowhere: name a CSV file"):
        market.file_of("GOOGL", tmp_path / "nowhere")
    with pytest.raises(errors.InvalidOption, match=r"has no GOOGL\.csv; there is .*other\.csv"):
        market.file_of("GOOGL", tmp_path)


def test_too_few_bars_for_a_market_are_refused():
    with pytest.raises(BadCandles, match="too few"):
        market.Market.of("X", make_candles(51))
