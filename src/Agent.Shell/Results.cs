using Microsoft.FSharp.Core;

namespace Agent.Shell;

/// <summary>Lets C# look into an F# result, and chain fallible steps as one LINQ expression.</summary>
internal static class Results
{
    /// <summary>Calls the function for the case that this is.</summary>
    public static TResult Match<T, TError, TResult>(
        this FSharpResult<T, TError> result, Func<T, TResult> ok, Func<TError, TResult> error) =>
        result.IsOk ? ok(result.ResultValue) : error(result.ErrorValue);

    /// <summary>The value seen through a function; an error stays as it is.</summary>
    public static FSharpResult<TResult, TError> Select<T, TError, TResult>(
        this FSharpResult<T, TError> result, Func<T, TResult> selector) =>
        result.IsOk
            ? FSharpResult<TResult, TError>.NewOk(selector(result.ResultValue))
            : FSharpResult<TResult, TError>.NewError(result.ErrorValue);

    /// <summary>A second fallible step, and what both give together; the first error ends the chain.</summary>
    public static FSharpResult<TResult, TError> SelectMany<T, TError, TNext, TResult>(
        this FSharpResult<T, TError> result,
        Func<T, FSharpResult<TNext, TError>> next,
        Func<T, TNext, TResult> selector) =>
        result.IsOk
            ? next(result.ResultValue).Select(value => selector(result.ResultValue, value))
            : FSharpResult<TResult, TError>.NewError(result.ErrorValue);

    /// <summary>The error seen through a function; a value stays as it is.</summary>
    public static FSharpResult<T, TNext> SelectError<T, TError, TNext>(
        this FSharpResult<T, TError> result, Func<TError, TNext> selector) =>
        result.IsOk
            ? FSharpResult<T, TNext>.NewOk(result.ResultValue)
            : FSharpResult<T, TNext>.NewError(selector(result.ErrorValue));
}

/// <summary>From what C# calls null to what the core calls none, and back.</summary>
internal static class Maybe
{
    /// <summary>The value, or none for null.</summary>
    public static FSharpValueOption<T> Of<T>(T? value)
        where T : class =>
        value is null ? FSharpValueOption<T>.ValueNone : FSharpValueOption<T>.NewValueSome(value);

    /// <summary>The value, or null for none.</summary>
    public static T? OrNull<T>(this FSharpValueOption<T> value)
        where T : class =>
        value.IsValueSome ? value.Value : null;
}
