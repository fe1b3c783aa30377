/// Numbers and instants as UTF-8, written into one buffer without allocating.
module Ingest.Load.Text

open System
open System.Buffers.Text

/// A buffer that is written front to back, again and again.
type Writer(capacity: int) =
    let buffer = Array.zeroCreate<byte> capacity
    let mutable length = 0

    /// What was written since the last `Clear`.
    member _.Written: ReadOnlySpan<byte> = ReadOnlySpan(buffer, 0, length)

    /// How many bytes that is.
    member _.Length = length

    /// Starts anew.
    member _.Clear() = length <- 0

    /// Bytes as they are.
    member _.Bytes(bytes: ReadOnlySpan<byte>) =
        bytes.CopyTo(Span(buffer, length, bytes.Length))
        length <- length + bytes.Length

    /// A whole number.
    member _.Integer(value: int64) =
        let mutable written = 0
        Utf8Formatter.TryFormat(value, Span(buffer).Slice length, &written) |> ignore
        length <- length + written

    /// This many decimal digits of a number that is not negative.
    member _.Digits(value: int64, count: int) =
        let mutable rest = value

        for place = count - 1 downto 0 do
            buffer[length + place] <- byte (int64 '0'B + rest % 10L)
            rest <- rest / 10L

        length <- length + count

    /// One byte.
    member _.Byte(value: byte) =
        buffer[length] <- value
        length <- length + 1

    /// A number given in tenths (1) or hundredths (2), without a fraction of zeros.
    member this.Decimals(value: int64, decimals: int) =
        let unit = if decimals = 1 then 10L else 100L
        this.Integer(value / unit)

        if value % unit <> 0L then
            this.Byte '.'B
            this.Digits(value % unit, decimals)

    /// `2026-02-26T02:37:49.120000+00:00`, of an instant in UTC.
    member this.Instant(at: DateTime) =
        this.Digits(int64 at.Year, 4)
        this.Byte '-'B
        this.Digits(int64 at.Month, 2)
        this.Byte '-'B
        this.Digits(int64 at.Day, 2)
        this.Byte 'T'B
        this.Digits(int64 at.Hour, 2)
        this.Byte ':'B
        this.Digits(int64 at.Minute, 2)
        this.Byte ':'B
        this.Digits(int64 at.Second, 2)
        this.Byte '.'B
        this.Digits(at.Ticks % TimeSpan.TicksPerSecond / TimeSpan.TicksPerMicrosecond, 6)
        this.Bytes("+00:00"B.AsSpan())
