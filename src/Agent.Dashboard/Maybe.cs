using Microsoft.FSharp.Core;

namespace Agent.Dashboard;

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
